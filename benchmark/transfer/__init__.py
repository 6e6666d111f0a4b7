"""What a merged model is good for elsewhere: detection and segmentation with its weights as a plain ViT backbone."""
